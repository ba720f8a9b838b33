data "openstack_networking_network_v2" "shared" {
  name = var.shared_network
}

data "openstack_images_image_v2" "node" {
  for_each = var.images

  name        = each.value
  most_recent = true
}

resource "openstack_networking_port_v2" "shared" {
  for_each = var.nodes

  name           = "shared-${each.value.name}"
  network_id     = data.openstack_networking_network_v2.shared.id
  admin_state_up = true
  security_group_ids = [
    each.value.front ? openstack_networking_secgroup_v2.front.id : openstack_networking_secgroup_v2.closed.id
  ]
}

resource "openstack_networking_port_v2" "private" {
  for_each = var.nodes

  name                  = "private-${each.value.name}"
  network_id            = var.private_network_id
  admin_state_up        = true
  port_security_enabled = false

  fixed_ip {
    subnet_id  = var.private_subnet_id
    ip_address = each.value.address
  }
}

resource "openstack_compute_instance_v2" "node" {
  for_each = var.nodes

  name      = each.value.name
  image_id  = data.openstack_images_image_v2.node[each.value.pool].id
  flavor_id = var.reservations[each.value.pool]
  key_pair  = var.key_name

  # Of this node alone: with a table of all nodes here, one more node would replace the others.
  user_data = join("\n", ["#cloud-config", yamlencode({
    hostname          = each.value.name
    preserve_hostname = false
    disable_root      = true
    ssh_pwauth        = false
  })])

  network {
    port = openstack_networking_port_v2.shared[each.key].id
  }

  network {
    port = openstack_networking_port_v2.private[each.key].id
  }

  lifecycle {
    # The site publishes a new image under the same name: nodes change when they are replaced on purpose.
    ignore_changes = [image_id]
  }
}

resource "openstack_compute_volume_attach_v2" "data" {
  for_each = var.volumes

  instance_id = openstack_compute_instance_v2.node[each.key].id
  volume_id   = each.value
}

resource "openstack_networking_floatingip_v2" "front" {
  for_each = { for key, node in var.nodes : key => node if node.front }

  description = each.value.name
  pool        = var.public_pool
  port_id     = openstack_networking_port_v2.shared[each.key].id
}
