mock_provider "openstack" {
  mock_resource "openstack_networking_port_v2" {
    defaults = {
      all_fixed_ips = ["10.140.81.7"]
    }
  }
}

variables {
  nodes = {
    control = { name = "control-project7", role = "control_plane", pool = "cpu", address = "192.168.1.11", front = true }
    gpu1    = { name = "gpu1-project7", role = "gpu", pool = "gpu", address = "192.168.1.41", front = false }
  }
  reservations = {
    cpu = "0b1f6a0e-3c8e-4f65-9d8a-5a5b1b0f2c11"
    gpu = "1c2f6a0e-3c8e-4f65-9d8a-5a5b1b0f2c22"
  }
  images         = { cpu = "CC-Ubuntu24.04", gpu = "CC-Ubuntu24.04-CUDA" }
  key_name       = "key-project7"
  shared_network = "sharednet1"
  public_pool    = "public"
}

run "each_pool_runs_on_its_own_hosts" {
  assert {
    condition = alltrue([
      for key, pool in { control = "cpu", gpu1 = "gpu" } :
      one(openstack_compute_instance_v2.node[key].scheduler_hints).additional_properties["reservation"] == var.reservations[pool]
    ])
    error_message = "A node's hint is not its pool's reservation."
  }

  assert {
    condition     = alltrue([for node in values(openstack_compute_instance_v2.node) : node.flavor_name == "baremetal"])
    error_message = "Not bare metal."
  }
}

run "addresses_are_the_ones_the_site_gave" {
  assert {
    condition     = output.addresses == { control = "10.140.81.7", gpu1 = "10.140.81.7" }
    error_message = jsonencode(output.addresses)
  }
}

run "the_front_alone_has_a_public_address" {
  assert {
    condition     = keys(openstack_networking_floatingip_v2.front) == ["control"]
    error_message = "Public addresses: ${jsonencode(keys(openstack_networking_floatingip_v2.front))}"
  }
}

run "refuses_a_reservation_that_is_a_leases_name" {
  command = plan

  variables {
    reservations = { cpu = "lease-project7", gpu = "1c2f6a0e-3c8e-4f65-9d8a-5a5b1b0f2c22" }
  }

  expect_failures = [var.reservations]
}

run "refuses_gpu_nodes_without_their_reservation" {
  command = plan

  variables {
    reservations = { cpu = "0b1f6a0e-3c8e-4f65-9d8a-5a5b1b0f2c11" }
  }

  expect_failures = [var.reservations]
}
