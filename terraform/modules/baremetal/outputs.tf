output "floating_ip" {
  description = "Public address of the front node."
  value       = one(values(openstack_networking_floatingip_v2.front)[*].address)
}

output "instance_ids" {
  description = "Ids of the instances by node."
  value       = { for key, instance in openstack_compute_instance_v2.node : key => instance.id }
}

output "addresses" {
  description = "Addresses on the shared network by node, as the site gave them."
  value       = { for key, port in openstack_networking_port_v2.shared : key => port.all_fixed_ips[0] }
}
