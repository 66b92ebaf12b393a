"""A small Django project: caches and sessions on the server under test, users in memory.

Environment: RHUBARB_TEST_URL (redis://host:port).
"""

import os

URL = os.environ["RHUBARB_TEST_URL"]

SECRET_KEY = "only for tests"
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "djsite.urls"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": URL + "/3",
        "KEY_PREFIX": "site",
        "TIMEOUT": 300,
    },
    "plugin": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": URL + "/4",
        "OPTIONS": {"CLIENT_CLASS": "django_redis.client.DefaultClient"},
    },
}
SESSION_ENGINE = "django.contrib.sessions.backends.cache"
SESSION_CACHE_ALIAS = os.environ.get("RHUBARB_TEST_SESSIONS", "default")
