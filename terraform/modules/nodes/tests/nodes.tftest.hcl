mock_provider "openstack" {}

variables {
  nodes = {
    control = { name = "control-project7", role = "control_plane", pool = "cpu", address = "192.168.1.11", front = true }
    worker1 = { name = "worker1-project7", role = "workers", pool = "cpu", address = "192.168.1.21", front = false }
    gpu1    = { name = "gpu1-project7", role = "gpu", pool = "gpu", address = "192.168.1.41", front = false }
  }
  reservations = {
    cpu = "0b1f6a0e-3c8e-4f65-9d8a-5a5b1b0f2c11"
    gpu = "1c2f6a0e-3c8e-4f65-9d8a-5a5b1b0f2c22"
  }
  images = { cpu = "CC-Ubuntu24.04", gpu = "CC-Ubuntu24.04-CUDA" }
  rules = {
    ssh  = { port = 22, cidr = "198.51.100.0/24" }
    http = { port = 80, cidr = "0.0.0.0/0" }
  }
  names              = { front = "front-project7", closed = "closed-project7" }
  key_name           = "key-project7"
  shared_network     = "sharednet1"
  public_pool        = "public"
  private_network_id = "3d9b9a39-6a36-4f5b-8c8c-000000000001"
  private_subnet_id  = "3d9b9a39-6a36-4f5b-8c8c-000000000002"
  volumes            = { control = "6f1c2f6e-8f0e-4e7e-9d5a-0c3f1f3f7b11" }
}

run "each_pool_runs_on_its_own_reservation" {
  assert {
    condition = { for key, node in openstack_compute_instance_v2.node : key => node.flavor_id } == {
      control = "0b1f6a0e-3c8e-4f65-9d8a-5a5b1b0f2c11"
      worker1 = "0b1f6a0e-3c8e-4f65-9d8a-5a5b1b0f2c11"
      gpu1    = "1c2f6a0e-3c8e-4f65-9d8a-5a5b1b0f2c22"
    }
    error_message = "Flavours: ${jsonencode({ for key, node in openstack_compute_instance_v2.node : key => node.flavor_id })}"
  }
}

run "every_name_ends_in_the_suffix" {
  assert {
    condition = alltrue([for name in concat(
      values(openstack_compute_instance_v2.node)[*].name,
      values(openstack_networking_port_v2.shared)[*].name,
      values(openstack_networking_port_v2.private)[*].name,
      values(openstack_networking_floatingip_v2.front)[*].description,
      [openstack_networking_secgroup_v2.front.name, openstack_networking_secgroup_v2.closed.name],
    ) : endswith(name, "-project7")])
    error_message = "A name lacks the suffix."
  }
}

run "the_front_alone_has_open_ports_and_a_public_address" {
  assert {
    condition = alltrue([
      for key, port in openstack_networking_port_v2.shared : port.security_group_ids == toset([
        key == "control" ? openstack_networking_secgroup_v2.front.id : openstack_networking_secgroup_v2.closed.id
      ])
    ])
    error_message = "A port has a group that is not its own."
  }

  assert {
    condition     = keys(openstack_networking_floatingip_v2.front) == ["control"]
    error_message = "Public addresses: ${jsonencode(keys(openstack_networking_floatingip_v2.front))}"
  }
}

run "rules_are_the_tables" {
  assert {
    condition = { for key, rule in openstack_networking_secgroup_rule_v2.front : key => "${rule.port_range_min}-${rule.port_range_max} ${rule.remote_ip_prefix}" } == {
      ssh  = "22-22 198.51.100.0/24"
      http = "80-80 0.0.0.0/0"
    }
    error_message = "Rules differ from the table."
  }
}

run "user_data_names_this_node_alone" {
  assert {
    condition     = yamldecode(openstack_compute_instance_v2.node["worker1"].user_data).hostname == "worker1-project7"
    error_message = "Not its name."
  }

  assert {
    condition     = !strcontains(openstack_compute_instance_v2.node["worker1"].user_data, "control-project7")
    error_message = "One node more would replace the others."
  }
}

run "the_volume_hangs_on_its_node" {
  assert {
    condition     = openstack_compute_volume_attach_v2.data["control"].instance_id == openstack_compute_instance_v2.node["control"].id
    error_message = "On another node."
  }
}

run "an_unknown_address_of_the_front_stays_unknown_in_a_plan" {
  command = plan

  assert {
    condition     = length(openstack_compute_volume_attach_v2.data) == 1
    error_message = "What is attached is known before anything is made."
  }
}

run "refuses_a_reservation_that_is_a_flavours_name" {
  command = plan

  variables {
    reservations = { cpu = "m1.large", gpu = "1c2f6a0e-3c8e-4f65-9d8a-5a5b1b0f2c22" }
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

run "refuses_a_pool_without_an_image" {
  command = plan

  variables {
    images = { cpu = "CC-Ubuntu24.04" }
  }

  expect_failures = [var.images]
}

run "refuses_two_fronts" {
  command = plan

  variables {
    nodes = {
      control = { name = "control-project7", role = "control_plane", pool = "cpu", address = "192.168.1.11", front = true }
      worker1 = { name = "worker1-project7", role = "workers", pool = "cpu", address = "192.168.1.21", front = true }
    }
  }

  expect_failures = [var.nodes]
}

run "refuses_ssh_that_is_open_to_everyone" {
  command = plan

  variables {
    rules = { ssh = { port = 22, cidr = "0.0.0.0/0" } }
  }

  expect_failures = [var.rules]
}

run "refuses_a_volume_of_a_node_that_is_not_there" {
  command = plan

  variables {
    volumes = { worker9 = "6f1c2f6e-8f0e-4e7e-9d5a-0c3f1f3f7b11" }
  }

  expect_failures = [var.volumes]
}
