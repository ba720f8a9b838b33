resource "openstack_networking_network_v2" "private" {
  name           = var.name
  admin_state_up = true

  # Pods carry addresses of their own, which port security would drop. Nobody outside this network reaches these ports.
  port_security_enabled = false

  lifecycle {
    prevent_destroy = true
  }
}

resource "openstack_networking_subnet_v2" "private" {
  name       = var.name
  network_id = openstack_networking_network_v2.private.id
  cidr       = var.subnet
  ip_version = 4
  no_gateway = true

  lifecycle {
    prevent_destroy = true
  }
}
