output "volume_ids" {
  description = "Ids of the volumes by what they hold."
  value       = module.storage.volume_ids
}

output "containers" {
  description = "Names of the object containers by what they hold."
  value       = module.storage.containers
}
