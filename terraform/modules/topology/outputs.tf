output "nodes" {
  description = "Nodes by key (control, worker1, gpu1): name, role, pool, private address, and whether the public reaches it."
  value       = local.nodes
}

output "volumes" {
  description = "Volumes by what they hold: name, size in GB, and the node that mounts it."
  value       = local.volumes
}

output "containers" {
  description = "Names of the object containers by what they hold."
  value       = { for key in var.containers : key => "${key}-${var.project_suffix}" }
}

output "rules" {
  description = "Ports that are open from outside, and to whom."
  value       = local.rules
}

output "network_name" {
  description = "Name of the private network."
  value       = "private-${var.project_suffix}"
}

output "key_name" {
  description = "Name of the key pair."
  value       = "key-${var.project_suffix}"
}

output "group_names" {
  description = "Names of the security groups, by purpose."
  value       = { for purpose in ["front", "closed"] : purpose => "${purpose}-${var.project_suffix}" }
}

output "inventory" {
  description = "The Ansible inventory, YAML."
  value       = yamlencode(local.inventory)
}
