-- Builds what scripts see as their globals. Runs once per VM, with the native helpers and the
-- libraries written in Rust as arguments; returns the entry points of the engine.
--
-- Stock Lua 5.1 has no read-only tables, so every shared table is shown through an empty proxy. The
-- functions that would see the proxy instead of the table (next, rawget, ...) are wrapped here, and
-- so are those whose stock version is unsafe: see each one.
local native, libs = ...

local collectgarbage, concat, create, error = collectgarbage, table.concat, coroutine.create, error
local find, getmetatable, gmatch, gsub = string.find, getmetatable, string.gmatch, string.gsub
local loadstring, match, next, pcall, rawget, rawset = loadstring, string.match, next, pcall, rawget, rawset
local rep, resume, select, setmetatable, sub, tonumber = string.rep, coroutine.resume, select, setmetatable, string.sub, tonumber
local tostring, type, unpack, xpcall, byte = tostring, type, unpack, xpcall, string.byte
local recover, describe = native.recover, native.describe

local CHUNK = native.library and '@user_function' or '@user_script' -- kept alive here: the 5.1 parser doesn't anchor a chunk's name
local READONLY = 'Attempt to modify a readonly table'
local MAX_UNPACK = 8000      -- LUAI_MAXCSTACK: slots that one C function may use
local MAX_PATTERN = 8192     -- bytes; the matcher recurses on each repetition of a pattern
local MAX_SOURCE = 512 * 1024 * 1024
local MAX_STRING = 512 * 1024 * 1024
local MAX_RESUME = 16        -- nested coroutines: 5.1 doesn't count their share of the C stack
local TICK_RESUMES = 1000    -- resumptions between two ticks
local MAX_GSUB = 64          -- nested gsub callbacks: each holds some 8 KiB of C stack

local G              -- the content of the globals
local real = {}      -- proxy -> content
local loaded = {}    -- what is run, by number: scripts, or functions of libraries
local resumed, gsubs, resumes = 0, 0, 0

local function readonly() error(READONLY, 2) end

local function protect(content, proxy)
  proxy = proxy or {}
  real[proxy] = content
  return setmetatable(proxy, {__index = content, __newindex = readonly, __metatable = false})
end

local function typename(...)
  if select('#', ...) == 0 then return 'no value' end
  return type((...))
end

local function badarg(n, name, text)
  error("bad argument #" .. n .. " to '" .. name .. "' (" .. text .. ')', 3)
end

-- Tables -----------------------------------------------------------------------------------------

local function g_next(t, k)
  local content = real[t]
  if content then return next(content, k) end
  if type(t) ~= 'table' then badarg(1, 'next', 'table expected, got ' .. typename(t)) end
  return next(t, k)
end

local function g_pairs(t)
  if real[t] then return g_next, t, nil end
  if type(t) ~= 'table' then badarg(1, 'pairs', 'table expected, got ' .. typename(t)) end
  return next, t, nil
end

local function g_rawget(t, k)
  if type(t) ~= 'table' then badarg(1, 'rawget', 'table expected, got ' .. typename(t)) end
  return rawget(real[t] or t, k)
end

local function g_rawset(t, k, v)
  if real[t] then error(READONLY, 0) end
  if type(t) ~= 'table' then badarg(1, 'rawset', 'table expected, got ' .. typename(t)) end
  return rawset(t, k, v)
end

local globals = _G
local globals_meta

local function g_getmetatable(...)
  if select('#', ...) == 0 then badarg(1, 'getmetatable', 'value expected') end
  local o = ...
  if o == globals then return globals_meta end
  if real[o] then return nil end
  return getmetatable(o)
end

local function g_setmetatable(t, mt)
  if real[t] then error(READONLY, 0) end
  if type(t) ~= 'table' then badarg(1, 'setmetatable', 'table expected, got ' .. typename(t)) end
  if mt ~= nil and type(mt) ~= 'table' then badarg(2, 'setmetatable', 'nil or table expected') end
  if getmetatable(t) ~= nil and not pcall(setmetatable, t, mt) then
    error('cannot change a protected metatable', 2)
  end
  return setmetatable(t, mt)
end

-- The stock range check relies on signed overflow, which the compiler may drop.
local function g_unpack(t, i, j)
  if type(t) ~= 'table' then badarg(1, 'unpack', 'table expected, got ' .. typename(t)) end
  if i == nil and j == nil then
    if #t >= MAX_UNPACK then error('too many results to unpack', 2) end
    return unpack(t)
  end
  local from, to = 1, #t
  if i ~= nil then
    from = tonumber(i)
    if not from then badarg(2, 'unpack', 'number expected, got ' .. typename(i)) end
  end
  if j ~= nil then
    to = tonumber(j)
    if not to then badarg(3, 'unpack', 'number expected, got ' .. typename(j)) end
  end
  -- not (a < b) also refuses NaN
  if not (to - from < MAX_UNPACK - 3) then error('too many results to unpack', 2) end
  if not (from >= -2147483648 and to < 2147483647) then
    if to < from then return end
    error('too many results to unpack', 2)
  end
  return unpack(t, from, to)
end

-- Errors -----------------------------------------------------------------------------------------

-- A failed call's error, as the script shall see it; raises if the script has been killed.
local function settle(depth, nested, ok, ...)
  if ok then return true, ... end
  resumed, gsubs = depth, nested
  return false, recover((...))
end

-- As Redis's own pcall: of an error table, the script gets the text.
local function text_of(ok, ...)
  if ok then return true, ... end
  local e = ...
  if type(e) == 'table' then
    local text = rawget(e, 'err')
    if type(text) == 'string' then return false, text end
  end
  return false, e
end

local function g_pcall(...)
  if select('#', ...) == 0 then return false end
  return text_of(settle(resumed, gsubs, pcall(...)))
end

local function g_xpcall(...)
  if select('#', ...) < 2 then badarg(2, 'xpcall', 'value expected') end
  local f, handler = ...
  return settle(resumed, gsubs, xpcall(f, function(e)
    local ok, shown = pcall(recover, e)
    if not ok then return shown end -- a kill or a panic: `settle` raises it again
    return handler(shown)
  end))
end

-- Coroutines -------------------------------------------------------------------------------------

local function resume_done(ok, ...)
  resumed = resumed - 1
  if ok then return true, ... end
  return false, recover((...))
end

local function g_resume(co, ...)
  if type(co) ~= 'thread' then badarg(1, 'resume', 'coroutine expected') end
  if resumed >= MAX_RESUME then return false, 'C stack overflow' end
  -- Each coroutine has an instruction count of its own: short ones would never reach the hook.
  resumes = resumes + 1
  if resumes >= TICK_RESUMES then
    resumes = 0
    native.tick()
  end
  resumed = resumed + 1
  return resume_done(resume(co, ...))
end

-- Called as a tail call: level 2 stands for it, and level 3 is the script.
local function wrap_done(ok, ...)
  if ok then return ... end
  local e = ...
  error(e, type(e) == 'string' and 3 or 0)
end

local function g_wrap(f)
  local ok, co = pcall(create, f)
  if not ok then badarg(1, 'wrap', 'Lua function expected') end
  return function(...) return wrap_done(g_resume(co, ...)) end
end

-- Source -----------------------------------------------------------------------------------------

-- Compiles text. Bytecode is refused with the text that a VM without it gives.
local function compile(source, name)
  local zero = find(name, '\0', 1, true)
  if zero then name = sub(name, 1, zero - 1) end
  if byte(source) == 27 then
    local _, e = loadstring('\1', name)
    return nil, (gsub(e, 'char%(1%)', 'char(27)'))
  end
  if #source > MAX_SOURCE then return nil, 'chunk is too long' end
  local f, e = loadstring(source, name) -- no tail call: this frame anchors the name
  return f, e
end

local function g_loadstring(...)
  local source, name = ...
  if type(source) ~= 'string' and type(source) ~= 'number' then
    badarg(1, 'loadstring', 'string expected, got ' .. typename(...))
  end
  source = tostring(source)
  if name == nil then
    name = source
  elseif type(name) ~= 'string' and type(name) ~= 'number' then
    badarg(2, 'loadstring', 'string expected, got ' .. typename(name))
  end
  local f, e = compile(source, tostring(name))
  if f then return f end
  return nil, e
end

-- Reads all pieces before the parser starts: no script code runs while it works.
local function g_load(...)
  local reader, name = ...
  if type(reader) ~= 'function' then badarg(1, 'load', 'function expected, got ' .. typename(...)) end
  if name == nil then
    name = '=(load)'
  elseif type(name) ~= 'string' and type(name) ~= 'number' then
    badarg(2, 'load', 'string expected, got ' .. typename(name))
  end
  local pieces, n = {}, 0
  while true do
    local ok, piece = g_pcall(reader)
    if not ok then return nil, piece end
    if piece == nil or piece == '' then break end
    if type(piece) ~= 'string' and type(piece) ~= 'number' then
      return nil, 'reader function must return a string'
    end
    n = n + 1
    pieces[n] = piece
  end
  local f, e = compile(concat(pieces), tostring(name))
  if f then return f end
  return nil, e
end

-- Strings ----------------------------------------------------------------------------------------

local function check_pattern(p)
  if type(p) == 'string' and #p > MAX_PATTERN and find(p, '[-?*+]') then
    error('pattern too complex', 3)
  end
end

local function g_find(s, p, init, plain)
  if not plain then check_pattern(p) end
  return find(s, p, init, plain)
end

local function g_match(s, p, init)
  check_pattern(p)
  return match(s, p, init)
end

local function g_gmatch(s, p)
  check_pattern(p)
  return gmatch(s, p)
end

local function gsub_done(...)
  gsubs = gsubs - 1
  return ...
end

local function g_gsub(s, p, r, n)
  check_pattern(p)
  local kind = type(r)
  if kind == 'string' or kind == 'number' then return gsub(s, p, r, n) end
  if gsubs >= MAX_GSUB then error('C stack overflow', 2) end
  gsubs = gsubs + 1
  return gsub_done(gsub(s, p, r, n))
end

-- The stock version loops in C, where a script can't be stopped, however little it makes.
local function g_rep(s, n)
  local count = tonumber(n)
  if type(s) == 'string' and count then
    if #s == 0 then return s end
    if #s * count > MAX_STRING then error('resulting string too large', 2) end
  end
  return rep(s, n)
end

-- A script may collect, but not stop or tune the collector for those after it.
local function g_collectgarbage(what, arg)
  what = what == nil and 'collect' or what
  if what == 'collect' or what == 'count' then return collectgarbage(what) end
  if what == 'step' then return collectgarbage('step', arg) end
  if what == 'stop' or what == 'restart' then return 0 end
  if what == 'setpause' or what == 'setstepmul' then return 200 end
  if type(what) ~= 'string' then
    badarg(1, 'collectgarbage', 'string expected, got ' .. typename(what))
  end
  badarg(1, 'collectgarbage', "invalid option '" .. what .. "'")
end

-- Environments -----------------------------------------------------------------------------------

-- A level counts this wrapper too. The thread's own environment (level 0) is that of all scripts
-- to come, so it can't be set.
local getfenv, setfenv, newproxy = getfenv, setfenv, newproxy

local function g_getfenv(f)
  local level = f == nil and 1 or tonumber(f)
  if level and level >= 1 then return (getfenv(level + 1)) end
  return (getfenv(f))
end

local function g_setfenv(f, env)
  local level = tonumber(f)
  if level and level < 1 then error(READONLY, 2) end
  return (setfenv(level and level + 1 or f, env))
end

-- Assembly ---------------------------------------------------------------------------------------

local function copy(from, names)
  local to = {}
  for name in gmatch(names, '%a[%w]*') do
    to[name] = from[name]
  end
  return to
end

local lib_string = copy(string, [[byte char dump find format gfind gmatch gsub len lower match rep
  reverse sub upper]])
lib_string.find, lib_string.match, lib_string.gmatch = g_find, g_match, g_gmatch
lib_string.gfind, lib_string.gsub, lib_string.rep = g_gmatch, g_gsub, g_rep

local lib_math = copy(math, [[abs acos asin atan2 atan ceil cos cosh deg exp floor fmod frexp huge
  ldexp log10 log max min mod modf pi pow rad sin sinh sqrt tan tanh]])
lib_math.random, lib_math.randomseed = native.random, native.randomseed

local lib_coroutine = copy(coroutine, 'create running status yield')
lib_coroutine.resume, lib_coroutine.wrap = g_resume, g_wrap

G = copy(_G, 'assert error gcinfo ipairs rawequal select tonumber tostring type')
G.collectgarbage, G.getmetatable, G.load, G.loadstring = g_collectgarbage, g_getmetatable, g_load, g_loadstring
G.next, G.pairs, G.pcall, G.rawget, G.rawset = g_next, g_pairs, g_pcall, g_rawget, g_rawset
G.setmetatable, G.unpack, G.xpcall = g_setmetatable, g_unpack, g_xpcall
G._G, G._VERSION = globals, _VERSION
if native.deprecated then
  G.getfenv, G.setfenv, G.newproxy = g_getfenv, g_setfenv, newproxy
end
G.string = protect(lib_string)
G.math = protect(lib_math)
G.table = protect(copy(table, 'concat foreach foreachi getn insert maxn remove setn sort'))
G.coroutine = protect(lib_coroutine)
G.os = protect({clock = os.clock})
for name, lib in next, libs do G[name] = protect(lib) end
function G.__redis__err__handler(e)
  if type(e) == 'table' then return e end
  return {err = 'ERR ' .. tostring(e)}
end

local strings = getmetatable('')
strings.__index = lib_string
strings.__metatable = protect({__index = G.string})

local function missing(_, name)
  error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
end

for name in next, globals do globals[name] = nil end
setmetatable(G, {__index = missing})
real[globals] = G
local shown = {__index = G, __newindex = readonly, __metatable = false}
setmetatable(globals, shown)
globals_meta = protect({__index = missing})

-- Entry points -----------------------------------------------------------------------------------

-- The message handler of a run. Only a panic keeps the error from being described: it goes on.
local function failed(e)
  local ok, panic = pcall(describe, e)
  if not ok then return panic end
end

local entry = {loaded = loaded, globals = G, failed = failed}

function entry.load(number, source)
  local f, e = compile(source, CHUNK)
  loaded[number] = f
  return f == nil and e or nil
end

-- After a run that failed.
function entry.reset() resumed, gsubs = 0, 0 end

-- The code of a library runs with other globals: all that it may do is to register functions. The
-- globals are one table whose content is changed, since functions are made while one shows and run
-- while the other does.
if native.library then
  local strict = {__index = missing}
  local L = setmetatable({redis = protect(setmetatable(native.library, strict))}, strict)
  local function show(content) real[globals], shown.__index = content, content end

  function entry.register(number)
    show(L)
    local ok, e = xpcall(loaded[number], failed)
    show(G)
    return not ok and e, ok
  end
end

-- Array functions of the stock library write to a proxy itself, past its metatable. Nothing reads
-- that, but it must not stay.
function entry.sweep()
  for proxy in next, real do
    for key in next, proxy do rawset(proxy, key, nil) end
  end
end

return entry
