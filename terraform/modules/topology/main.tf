locals {
  # A role's addresses begin at a number of its own: another node of one role moves no other node.
  roles = merge(
    { control = { role = "control_plane", host = 11 } },
    { for number in range(var.workers) : "worker${number + 1}" => { role = "workers", host = 21 + number } },
    { for number in range(var.gpu_workers) : "gpu${number + 1}" => { role = "gpu", host = 41 + number } },
  )

  nodes = {
    for key, node in local.roles : key => {
      name    = "${key}-${var.project_suffix}"
      role    = node.role
      pool    = node.role == "gpu" ? "gpu" : "cpu"
      address = cidrhost(var.private_subnet, node.host)
      front   = node.role == "control_plane"
    }
  }

  volumes = {
    for key, volume in var.volumes : key => merge(volume, { name = "${key}-${var.project_suffix}" })
  }

  # Every port that is open from outside. They lead to the front node alone.
  rules = {
    ssh        = { port = 22, cidr = var.admin_cidr }
    kubernetes = { port = 6443, cidr = var.admin_cidr }
    http       = { port = 80, cidr = "0.0.0.0/0" }
    https      = { port = 443, cidr = "0.0.0.0/0" }
    dicom      = { port = 11112, cidr = var.hospital_cidr }
  }
}
