"""The views of the test project."""

import itertools

from django.contrib.auth import authenticate, login, logout
from django.http import HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.cache import cache_page

renders = itertools.count(1)


def visit(request):
    """Counts the visits of this session."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({"visits": request.session["visits"], "user": request.user.get_username()})


def enter(request):
    user = authenticate(request, username=request.POST["name"], password=request.POST["password"])
    if user is None:
        return HttpResponse("no", status=403)
    login(request, user)
    return HttpResponse("in")


def leave(request):
    logout(request)
    return HttpResponse("out")


@cache_page(60)
def slow_page(request):
    """Says how often it was really rendered."""
    return HttpResponse(f"render {next(renders)}")


urlpatterns = [path("visit", visit), path("enter", enter), path("leave", leave), path("slow", slow_page)]
