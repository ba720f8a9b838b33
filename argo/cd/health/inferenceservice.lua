-- Which version serves, which is the canary, at what share of the traffic, and why it waits. Argo CD's own rule calls a
-- broken canary Progressing for ever, and a stable that scales back unhealthy.
-- Argo CD's sandbox is Lua 5.1 with the base and table libraries; os.time and os.date come by require.
local os = require("os")

-- Seconds a version or a route may take to become ready. A canary took 7 s when its image was there; the rest is for
-- pulling one. The rollout driver keeps a time limit of its own and is not moved by this one.
local LIMIT_S = 300

local predictor = obj.spec.predictor
local canaries = obj.spec.canary or {}
local status = obj.status or {}

local function condition(name)
  for _, entry in ipairs(status.conditions or {}) do
    if entry.type == name then
      return entry
    end
  end
  return nil
end

-- Whether a time such as 2026-08-21T14:26:03Z, which sorts as text, is longer ago than the limit. os.date ignores "!"
-- beside a given time, so the clock is read as UTC first and only then shifted.
local function overdue(since)
  local now = os.time(os.date("!*t"))
  return since ~= nil and since < os.date("%Y-%m-%dT%H:%M:%SZ", now - LIMIT_S)
end

local function told(entry)
  local text = entry.reason or ""
  if entry.message ~= nil and entry.message ~= "" then
    text = text .. (text ~= "" and ": " or "") .. entry.message
  end
  return text ~= "" and text or "no reason given"
end

if (condition("Stopped") or {}).status == "True" then
  return {status = "Suspended", message = "stopped by the annotation serving.kserve.io/stop"}
end
if predictor.name == nil and (predictor.model or {}).storageUri == nil then
  return {status = "Healthy", message = "no model yet: the first promotion brings one"}
end
if status.conditions == nil then
  return {status = "Progressing", message = "KServe has not reported yet"}
end

local reported = {}
for _, entry in ipairs(status.canaryStatuses or {}) do
  reported[entry.name] = entry
end

local health = "Healthy"
local parts = {}
local left = 100

local function worse(since)
  if overdue(since) then
    health = "Degraded"
  elseif health == "Healthy" then
    health = "Progressing"
  end
end

-- KServe gives a canary its share only once it is ready; until then the stable keeps it.
local unready = condition("CanaryPredictorReady") or {}
for _, canary in ipairs(canaries) do
  local name = canary.predictor.name
  local seen = reported[name]
  reported[name] = nil
  local share = tostring(canary.trafficPercent) .. " %"
  if seen == nil or seen.trafficPercent ~= canary.trafficPercent then
    worse(nil)
    table.insert(parts, "canary " .. name .. " " .. share .. ": not taken up by KServe yet")
  elseif seen.ready then
    left = left - canary.trafficPercent
    table.insert(parts, "canary " .. name .. " " .. share .. ", ready")
  else
    worse(unready.lastTransitionTime)
    table.insert(
      parts,
      "canary " .. name .. " (" .. share .. ") not ready: waiting since " .. (unready.lastTransitionTime or "now")
    )
  end
end
for name in pairs(reported) do
  worse(nil)
  table.insert(parts, name .. " is being taken away")
end
local model = status.modelStatus or {}
local ready = (model.copies or {}).totalCopies or 0 -- pods of the stable; none is left out
local serves = ready > 0 and " serves " or ", with no pod ready, is to serve "
table.insert(parts, 1, (predictor.name or "the stable") .. serves .. tostring(left) .. " %")

for _, name in ipairs({"PredictorReady", "IngressReady"}) do
  local entry = condition(name)
  if entry ~= nil and entry.status ~= "True" then
    worse(entry.lastTransitionTime)
    table.insert(parts, name .. " is " .. entry.status .. ": " .. told(entry))
  end
end

local failure = model.lastFailureInfo or {}
if model.transitionStatus == "BlockedByFailedLoad" or model.transitionStatus == "InvalidSpec" then
  if failure.reason == "RuntimeNotRecognized" then -- it may come with the same sync
    worse((condition("Ready") or {}).lastTransitionTime)
  else
    health = "Degraded"
  end
  table.insert(parts, model.transitionStatus .. ": " .. told(failure))
end

return {status = health, message = table.concat(parts, "; ")}
