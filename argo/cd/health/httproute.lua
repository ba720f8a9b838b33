-- Whether the gateway follows the route, and the weights of its versions.
local os = require("os")

-- Seconds a gateway may take: a Service that a route names may follow the route.
local LIMIT_S = 60

local function overdue(since)
  local now = os.time(os.date("!*t"))
  return since ~= nil and since < os.date("%Y-%m-%dT%H:%M:%SZ", now - LIMIT_S)
end

local function weights()
  for _, rule in ipairs(obj.spec.rules or {}) do
    local shares = {}
    for _, backend in ipairs(rule.backendRefs or {}) do
      table.insert(shares, backend.name .. " " .. tostring(backend.weight or 1))
    end
    if #shares > 0 then
      return table.concat(shares, ", ")
    end
  end
  return "no backend"
end

local parents = (obj.status or {}).parents or {}
if #parents == 0 then
  return {status = "Progressing", message = "no gateway has taken up the route yet: " .. weights()}
end

local health = "Healthy"
local parts = {weights()}
for _, parent in ipairs(parents) do
  for _, condition in ipairs(parent.conditions or {}) do
    local known = condition.type == "Accepted" or condition.type == "ResolvedRefs"
    local stale = condition.observedGeneration ~= nil and condition.observedGeneration ~= obj.metadata.generation
    if known and stale then
      health = health == "Healthy" and "Progressing" or health
      table.insert(parts, "the gateway follows an older version of the route")
      break
    elseif known and condition.status ~= "True" then
      health = overdue(condition.lastTransitionTime) and "Degraded" or (health == "Healthy" and "Progressing" or health)
      local reason = (condition.reason or "") .. ": " .. (condition.message or "")
      table.insert(parts, parent.parentRef.name .. ": " .. condition.type .. " is " .. condition.status .. ", " .. reason)
    end
  end
end
return {status = health, message = table.concat(parts, "; ")}
