-- Whether the schedule runs: refused by the controller, suspended, or last started when. A suspended one is Healthy: git
-- says so, and an Application that is Suspended holds up every sync wave behind it.
local status = obj.status or {}

for _, condition in ipairs(status.conditions or {}) do
  if condition.status == "True" and (condition.type == "SpecError" or condition.type == "SubmissionError") then
    return {status = "Degraded", message = condition.type .. ": " .. (condition.message or "no reason given")}
  end
end

local last = status.lastScheduledTime and "last started " .. status.lastScheduledTime or "not started yet"
if obj.spec.suspend then
  return {status = "Healthy", message = "suspended, " .. last}
end
local active = #(status.active or {})
return {status = "Healthy", message = last .. (active > 0 and ", " .. tostring(active) .. " running" or "")}
