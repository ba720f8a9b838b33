variables {
  project_suffix = "project7"
  admin_cidr     = "198.51.100.0/24"
  hospital_cidr  = "203.0.113.0/24"
  gpu_workers    = 1
  floating_ip    = "192.0.2.10"
  volume_ids = {
    control = "6f1c2f6e-8f0e-4e7e-9d5a-0c3f1f3f7b11"
    worker1 = "a7b0c2d4-1111-4222-8333-944455566677"
  }
}

run "groups_are_the_three_roles" {
  assert {
    condition     = toset(keys(yamldecode(output.inventory).all.children.cluster.children)) == toset(["control_plane", "workers", "gpu"])
    error_message = output.inventory
  }

  assert {
    condition     = keys(yamldecode(output.inventory).all.children.cluster.children.gpu.hosts) == ["gpu1-project7"]
    error_message = output.inventory
  }
}

run "a_volume_is_known_by_twenty_characters_of_its_id" {
  assert {
    condition = (
      yamldecode(output.inventory).all.children.cluster.children.control_plane.hosts["control-project7"].volume_device
      == "/dev/disk/by-id/virtio-6f1c2f6e-8f0e-4e7e-9"
    )
    error_message = output.inventory
  }

  assert {
    condition     = !contains(keys(yamldecode(output.inventory).all.children.cluster.children.workers.hosts["worker2-project7"]), "volume_device")
    error_message = "A node without a volume has a device."
  }
}

run "workers_are_reached_through_the_control_plane" {
  assert {
    condition = alltrue([
      for host in values(yamldecode(output.inventory).all.children.cluster.children.workers.hosts) :
      host.ansible_host == host.private_address && endswith(host.ansible_ssh_common_args, "-W %h:%p cc@192.0.2.10\"")
    ])
    error_message = output.inventory
  }

  assert {
    condition     = yamldecode(output.inventory).all.children.cluster.children.control_plane.hosts["control-project7"].ansible_host == "192.0.2.10"
    error_message = output.inventory
  }
}

run "without_a_public_address_nobody_jumps" {
  variables {
    floating_ip = ""
  }

  assert {
    condition     = !strcontains(output.inventory, "ProxyCommand")
    error_message = output.inventory
  }
}

run "bare_metal_keeps_the_addresses_the_site_gave" {
  variables {
    bare_metal     = true
    volumes        = {}
    volume_ids     = {}
    private_subnet = "10.140.80.0/22"
    addresses      = { control = "10.140.81.7", worker1 = "10.140.82.9", worker2 = "10.140.83.1", gpu1 = "10.140.80.3" }
  }

  assert {
    condition = alltrue([
      for key, address in { "worker1-project7" = "10.140.82.9", "worker2-project7" = "10.140.83.1" } :
      yamldecode(output.inventory).all.children.cluster.children.workers.hosts[key].private_address == address
    ])
    error_message = output.inventory
  }

  assert {
    condition     = yamldecode(output.inventory).all.children.cluster.children.control_plane.hosts["control-project7"].bare_metal
    error_message = "bare_metal is not said."
  }
}
