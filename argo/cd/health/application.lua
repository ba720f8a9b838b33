-- Argo CD took this rule away from itself; without it a sync wave of Applications does not wait for the one before. A
-- wave waits for Healthy and would wait for ever on what a person suspended.
local status = obj.status or {}
local health = status.health or {}
local operation = status.operationState or {}

local message = health.message or ""
if operation.phase == "Failed" or operation.phase == "Error" then
  message = "sync " .. operation.phase .. ": " .. (operation.message or "no reason given")
end
local suspended = health.status == "Suspended"
return {
  status = suspended and "Healthy" or health.status or "Progressing",
  message = suspended and "suspended" .. (message ~= "" and ": " .. message or "") or message
}
