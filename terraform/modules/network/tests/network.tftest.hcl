mock_provider "openstack" {}

variables {
  name   = "private-project7"
  subnet = "192.168.1.0/24"
}

run "the_network_has_no_way_out" {
  command = plan

  assert {
    condition     = openstack_networking_subnet_v2.private.no_gateway
    error_message = "The private network has a gateway."
  }

  assert {
    condition     = openstack_networking_network_v2.private.name == "private-project7" && openstack_networking_subnet_v2.private.name == "private-project7"
    error_message = "A name lacks the suffix."
  }
}

run "refuses_an_address_without_a_prefix" {
  command = plan

  variables {
    subnet = "192.168.1.0"
  }

  expect_failures = [var.subnet]
}
