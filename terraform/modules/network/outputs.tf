output "network_id" {
  description = "Id of the private network."
  value       = openstack_networking_network_v2.private.id
}

output "subnet_id" {
  description = "Id of its subnet."
  value       = openstack_networking_subnet_v2.private.id
}
