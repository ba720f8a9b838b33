resource "openstack_blockstorage_volume_v3" "data" {
  for_each = var.volumes

  name        = each.value.name
  description = "chexpert: ${each.key}"
  size        = each.value.size_gb
  volume_type = var.volume_type == "" ? null : var.volume_type

  # A volume in use grows without being detached.
  enable_online_resize = true

  lifecycle {
    prevent_destroy = true
  }
}

resource "openstack_objectstorage_container_v1" "data" {
  for_each = var.containers
  provider = openstack.objects

  name          = each.value
  force_destroy = false

  lifecycle {
    prevent_destroy = true
  }
}
