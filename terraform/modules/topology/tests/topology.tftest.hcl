variables {
  project_suffix = "project7"
  admin_cidr     = "198.51.100.0/24"
  hospital_cidr  = "203.0.113.0/24"
}

run "every_name_ends_in_the_suffix" {
  assert {
    condition = alltrue([for name in concat(
      values(output.nodes)[*].name, values(output.volumes)[*].name, values(output.group_names),
      [output.network_name, output.key_name],
    ) : endswith(name, "-project7")])
    error_message = "A name lacks the suffix: ${jsonencode([output.nodes, output.volumes, output.group_names])}"
  }
}

run "addresses_lie_in_the_subnet_one_a_node" {
  variables {
    private_subnet = "10.245.0.0/24"
    workers        = 20
    gpu_workers    = 10
  }

  assert {
    condition     = length(distinct(values(output.nodes)[*].address)) == 31
    error_message = "Addresses meet: ${jsonencode(values(output.nodes)[*].address)}"
  }

  assert {
    condition     = alltrue([for node in values(output.nodes) : startswith(node.address, "10.245.0.")])
    error_message = "An address lies outside."
  }
}

run "the_control_plane_alone_is_the_front" {
  variables {
    gpu_workers = 1
  }

  assert {
    condition     = [for key, node in output.nodes : key if node.front] == ["control"]
    error_message = "Front: ${jsonencode([for key, node in output.nodes : key if node.front])}"
  }

  assert {
    condition     = output.nodes["gpu1"].pool == "gpu" && output.nodes["worker1"].pool == "cpu"
    error_message = "GPU nodes are no pool of their own."
  }
}

run "two_workers" {
}

run "one_more_worker_changes_no_other_node" {
  variables {
    workers = 3
  }

  assert {
    condition     = alltrue([for key, node in run.two_workers.nodes : output.nodes[key] == node]) && length(output.nodes) == 4
    error_message = "Another node changed: ${jsonencode(output.nodes)}"
  }
}

run "open_ports_are_the_five" {
  assert {
    condition = jsonencode(output.rules) == jsonencode({
      ssh        = { port = 22, cidr = "198.51.100.0/24" }
      kubernetes = { port = 6443, cidr = "198.51.100.0/24" }
      http       = { port = 80, cidr = "0.0.0.0/0" }
      https      = { port = 443, cidr = "0.0.0.0/0" }
      dicom      = { port = 11112, cidr = "203.0.113.0/24" }
    })
    error_message = "Open: ${jsonencode(output.rules)}"
  }
}
