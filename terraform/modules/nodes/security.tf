# New groups let everything out. What comes in is this table and nothing else.
resource "openstack_networking_secgroup_v2" "front" {
  name        = var.names.front
  description = "chexpert: what is open from outside"
}

resource "openstack_networking_secgroup_rule_v2" "front" {
  for_each = var.rules

  description       = each.key
  direction         = "ingress"
  ethertype         = "IPv4"
  protocol          = "tcp"
  port_range_min    = each.value.port
  port_range_max    = each.value.port
  remote_ip_prefix  = each.value.cidr
  security_group_id = openstack_networking_secgroup_v2.front.id
}

# The shared network is full of other projects' machines: workers answer none of them.
resource "openstack_networking_secgroup_v2" "closed" {
  name        = var.names.closed
  description = "chexpert: nothing is open from outside"
}
