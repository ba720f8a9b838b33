variables {
  project_suffix = "project7"
  admin_cidr     = "198.51.100.0/24"
  hospital_cidr  = "203.0.113.0/24"
}

run "refuses_a_suffix_with_a_hyphen" {
  command = plan

  variables {
    project_suffix = "project-7"
  }

  expect_failures = [var.project_suffix]
}

run "refuses_a_suffix_in_capitals" {
  command = plan

  variables {
    project_suffix = "Project7"
  }

  expect_failures = [var.project_suffix]
}

run "refuses_an_admin_network_that_is_everyone" {
  command = plan

  variables {
    admin_cidr = "0.0.0.0/0"
  }

  expect_failures = [var.admin_cidr]
}

run "refuses_an_admin_network_wider_than_a_slash_16" {
  command = plan

  variables {
    admin_cidr = "198.48.0.0/12"
  }

  expect_failures = [var.admin_cidr]
}

run "refuses_an_admin_address_without_a_prefix" {
  command = plan

  variables {
    admin_cidr = "198.51.100.7"
  }

  expect_failures = [var.admin_cidr]
}

run "refuses_an_admin_network_with_host_bits" {
  command = plan

  variables {
    admin_cidr = "198.51.100.7/24"
  }

  expect_failures = [var.admin_cidr]
}

run "refuses_an_admin_network_of_ipv6" {
  command = plan

  variables {
    admin_cidr = "2001:db8::/32"
  }

  expect_failures = [var.admin_cidr]
}

run "refuses_a_hospital_that_is_everyone" {
  command = plan

  variables {
    hospital_cidr = "0.0.0.0/0"
  }

  expect_failures = [var.hospital_cidr]
}

run "refuses_a_hospital_that_is_a_name" {
  command = plan

  variables {
    hospital_cidr = "hospital.example.org"
  }

  expect_failures = [var.hospital_cidr]
}

run "refuses_a_subnet_without_room" {
  command = plan

  variables {
    private_subnet = "192.168.1.0/27"
  }

  expect_failures = [var.private_subnet]
}

run "refuses_a_subnet_with_host_bits" {
  command = plan

  variables {
    private_subnet = "192.168.1.7/24"
  }

  expect_failures = [var.private_subnet]
}

run "refuses_half_a_worker" {
  command = plan

  variables {
    workers = 1.5
  }

  expect_failures = [var.workers]
}

run "refuses_workers_beyond_their_addresses" {
  command = plan

  variables {
    workers = 21
  }

  expect_failures = [var.workers]
}

run "refuses_gpu_workers_below_none" {
  command = plan

  variables {
    gpu_workers = -1
  }

  expect_failures = [var.gpu_workers]
}

run "refuses_two_volumes_on_one_node" {
  command = plan

  variables {
    volumes = {
      tables  = { size_gb = 50, node = "control" }
      objects = { size_gb = 50, node = "control" }
    }
  }

  expect_failures = [var.volumes]
}

run "refuses_a_volume_on_a_node_that_is_not_there" {
  command = plan

  variables {
    volumes = { tables = { size_gb = 50, node = "worker9" } }
  }

  expect_failures = [var.volumes]
}

run "refuses_a_volume_without_a_size" {
  command = plan

  variables {
    volumes = { tables = { size_gb = 0, node = "control" } }
  }

  expect_failures = [var.volumes]
}

run "refuses_volumes_on_bare_metal" {
  command = plan

  variables {
    bare_metal = true
  }

  expect_failures = [var.volumes]
}

run "refuses_a_container_in_capitals" {
  command = plan

  variables {
    containers = ["Images"]
  }

  expect_failures = [var.containers]
}
