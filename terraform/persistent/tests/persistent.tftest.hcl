mock_provider "openstack" {}

mock_provider "openstack" {
  alias = "objects"
}

variables {
  project_suffix = "project7"
  admin_cidr     = "198.51.100.0/24"
  hospital_cidr  = "203.0.113.0/24"
  public_key     = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB3JYuqMuVo0tRQHVlP1DxGu1B8VYJ1jZ5xjHnCwAo9m admin"
}

run "containers_carry_the_suffix" {
  command = plan

  assert {
    condition     = output.containers["images"] == "images-project7"
    error_message = jsonencode(output.containers)
  }

  assert {
    condition     = openstack_compute_keypair_v2.admin.name == "key-project7"
    error_message = "The key pair lacks the suffix."
  }
}

run "bare_metal_has_no_private_network" {
  command = plan

  variables {
    bare_metal = true
    volumes    = {}
  }

  assert {
    condition     = length(module.network) == 0
    error_message = "A network that no machine of CHI joins."
  }
}

run "refuses_a_private_key" {
  command = plan

  variables {
    public_key = "-----BEGIN OPENSSH PRIVATE KEY-----"
  }

  expect_failures = [var.public_key]
}
