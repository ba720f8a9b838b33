# CHI has no security groups: which ports are open, the image's firewalld decides, which Ansible's role node_prep sets.
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
}

resource "openstack_compute_instance_v2" "node" {
  for_each = var.nodes

  name        = each.value.name
  image_id    = data.openstack_images_image_v2.node[each.value.pool].id
  flavor_name = "baremetal"
  key_pair    = var.key_name

  user_data = join("\n", ["#cloud-config", yamlencode({
    hostname          = each.value.name
    preserve_hostname = false
    disable_root      = true
    ssh_pwauth        = false
  })])

  network {
    port = openstack_networking_port_v2.shared[each.key].id
  }

  scheduler_hints {
    additional_properties = {
      reservation = var.reservations[each.value.pool]
    }
  }

  timeouts {
    # A machine is provisioned and boots twice.
    create = "60m"
  }

  lifecycle {
    ignore_changes = [image_id]
  }
}

resource "openstack_networking_floatingip_v2" "front" {
  for_each = { for key, node in var.nodes : key => node if node.front }

  description = each.value.name
  pool        = var.public_pool
  port_id     = openstack_networking_port_v2.shared[each.key].id
}
