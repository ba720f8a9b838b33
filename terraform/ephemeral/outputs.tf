output "floating_ip" {
  description = "Public address of the platform."
  value       = one(concat(module.nodes[*].floating_ip, module.baremetal[*].floating_ip))
}

output "inventory" {
  description = "The Ansible inventory, YAML: `terraform output -raw inventory`."
  value       = module.topology.inventory
}
