mock_provider "openstack" {
  mock_resource "openstack_networking_floatingip_v2" {
    defaults = {
      address = "192.0.2.10"
    }
  }

  mock_resource "openstack_networking_port_v2" {
    defaults = {
      all_fixed_ips = ["10.140.81.7"]
    }
  }

  mock_data "openstack_blockstorage_volume_v3" {
    defaults = {
      id = "6f1c2f6e-8f0e-4e7e-9d5a-0c3f1f3f7b11"
    }
  }
}

variables {
  project_suffix = "project7"
  admin_cidr     = "198.51.100.0/24"
  hospital_cidr  = "203.0.113.0/24"
  public_key     = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB3JYuqMuVo0tRQHVlP1DxGu1B8VYJ1jZ5xjHnCwAo9m admin"
  reservation    = "0b1f6a0e-3c8e-4f65-9d8a-5a5b1b0f2c11"
}

run "the_inventory_has_the_address_and_the_volumes_of_what_was_made" {
  assert {
    condition = yamldecode(output.inventory).all.children.cluster.children.control_plane.hosts["control-project7"] == {
      ansible_host    = "192.0.2.10"
      private_address = "192.168.1.11"
      bare_metal      = false
      volume_device   = "/dev/disk/by-id/virtio-6f1c2f6e-8f0e-4e7e-9"
    }
    error_message = output.inventory
  }
}

run "vms_are_not_bare_metal" {
  assert {
    condition     = length(module.nodes) == 1 && length(module.baremetal) == 0
    error_message = "Both kinds of nodes."
  }
}

run "bare_metal_takes_the_addresses_of_its_ports" {
  variables {
    bare_metal     = true
    volumes        = {}
    workers        = 0
    private_subnet = "10.140.80.0/22"
  }

  assert {
    condition     = yamldecode(output.inventory).all.children.cluster.children.control_plane.hosts["control-project7"].private_address == "10.140.81.7"
    error_message = output.inventory
  }
}

run "what_is_unknown_before_the_first_apply_stops_no_plan" {
  command = plan

  assert {
    condition     = module.topology.nodes["control"].name == "control-project7"
    error_message = "Names are known before anything is made."
  }
}

run "refuses_a_reservation_that_is_no_uuid" {
  command = plan

  variables {
    reservation = "m1.large"
  }

  expect_failures = [var.reservation]
}

run "refuses_gpu_nodes_without_their_reservation" {
  command = plan

  variables {
    gpu_workers = 1
  }

  expect_failures = [var.gpu_reservation]
}

run "refuses_a_gpu_reservation_that_nobody_uses" {
  command = plan

  variables {
    gpu_reservation = "1c2f6a0e-3c8e-4f65-9d8a-5a5b1b0f2c22"
  }

  expect_failures = [var.gpu_reservation]
}
