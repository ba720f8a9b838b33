-- A workflow's phase, and which gate refused. A step that refuses exits with 3; its verdict is among its outputs.
local REFUSED = "3"

local status = obj.status or {}
local phase = status.phase or ""

local function verdict(outputs)
  for _, artifact in ipairs(outputs.artifacts or {}) do
    if artifact.name == "verdict" and artifact.s3 ~= nil and artifact.s3.key ~= nil then
      return ", verdict in " .. artifact.s3.key
    end
  end
  return ""
end

local parts = {}
local running = {}
for _, node in pairs(status.nodes or {}) do
  local outputs = node.outputs or {}
  local name = node.templateName or node.displayName or "?"
  if node.type == "Pod" and outputs.exitCode == REFUSED then
    table.insert(parts, name .. " refused" .. verdict(outputs))
  elseif node.type == "Pod" and phase ~= "Succeeded" and (node.phase == "Failed" or node.phase == "Error") then
    table.insert(parts, name .. " failed: " .. (node.message or "no reason given"))
  elseif node.type == "Pod" and (node.phase == "Running" or node.phase == "Pending") then
    table.insert(running, name)
  end
end
table.sort(parts)
table.sort(running)

local function message(text)
  table.insert(parts, 1, text)
  if #parts == 1 and status.message ~= nil and status.message ~= "" then
    table.insert(parts, status.message)
  end
  return table.concat(parts, "; ")
end

if phase == "Succeeded" then
  return {status = "Healthy", message = message("succeeded")}
elseif phase == "Failed" or phase == "Error" then
  return {status = "Degraded", message = message(phase == "Failed" and "failed" or "error")}
elseif (obj.spec or {}).suspend then
  return {status = "Suspended", message = message("suspended")}
elseif phase == "" then
  return {status = "Progressing", message = "not taken up by the controller yet"}
elseif #running > 0 then
  return {status = "Progressing", message = message("running " .. table.concat(running, ", "))}
end
return {status = "Progressing", message = message(phase == "Pending" and "pending" or "running")}
