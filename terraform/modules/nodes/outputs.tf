output "floating_ip" {
  description = "Public address of the front node."
  value       = one(values(openstack_networking_floatingip_v2.front)[*].address)
}

output "instance_ids" {
  description = "Ids of the instances by node."
  value       = { for key, instance in openstack_compute_instance_v2.node : key => instance.id }
}

output "attached" {
  description = "Id of the attached volume by node."
  value       = { for key, attachment in openstack_compute_volume_attach_v2.data : key => attachment.volume_id }
}
