output "volume_ids" {
  description = "Ids of the volumes by what they hold."
  value       = { for key, volume in openstack_blockstorage_volume_v3.data : key => volume.id }
}

output "containers" {
  description = "Names of the containers by what they hold."
  value       = { for key, container in openstack_objectstorage_container_v1.data : key => container.name }
}
