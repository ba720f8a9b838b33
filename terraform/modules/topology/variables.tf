variable "project_suffix" {
  description = "Ends every name, so that several projects share one Chameleon project, e.g. project7."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{2,19}$", var.project_suffix))
    error_message = "project_suffix is 3 to 20 small letters and digits that begin with a letter, not \"${var.project_suffix}\"."
  }
}

variable "bare_metal" {
  description = "Nodes are machines of CHI (no security groups, no volumes) rather than VMs of KVM@TACC."
  type        = bool
  default     = false
}

variable "workers" {
  description = "Number of worker nodes without a GPU."
  type        = number
  default     = 2

  validation {
    condition     = var.workers >= 0 && var.workers <= 20 && floor(var.workers) == var.workers
    error_message = "workers is a whole number from 0 to 20, not ${var.workers}."
  }
}

variable "gpu_workers" {
  description = "Number of GPU nodes, a pool of its own with its own reservation."
  type        = number
  default     = 0

  validation {
    condition     = var.gpu_workers >= 0 && var.gpu_workers <= 10 && floor(var.gpu_workers) == var.gpu_workers
    error_message = "gpu_workers is a whole number from 0 to 10, not ${var.gpu_workers}."
  }
}

variable "private_subnet" {
  description = "IPv4 network between the nodes. On bare metal that of the site's shared network."
  type        = string
  default     = "192.168.1.0/24"

  validation {
    condition = (
      can(cidrnetmask(var.private_subnet)) &&
      can(cidrhost(var.private_subnet, 60)) &&
      try(cidrsubnet(var.private_subnet, 0, 0), "") == var.private_subnet
    )
    error_message = "private_subnet is an IPv4 network with room for 60 addresses, e.g. 192.168.1.0/24, not \"${var.private_subnet}\"."
  }
}

variable "admin_cidr" {
  description = "IPv4 network that may reach SSH (22) and the Kubernetes API (6443)."
  type        = string

  validation {
    condition = (
      can(cidrnetmask(var.admin_cidr)) &&
      try(cidrsubnet(var.admin_cidr, 0, 0), "") == var.admin_cidr &&
      try(tonumber(split("/", var.admin_cidr)[1]) >= 16, false)
    )
    error_message = "admin_cidr is an IPv4 network of at most a /16, e.g. 198.51.100.0/24, not \"${var.admin_cidr}\"."
  }
}

variable "hospital_cidr" {
  description = "IPv4 network whose modalities may send images (DICOM, 11112)."
  type        = string

  validation {
    condition = (
      can(cidrnetmask(var.hospital_cidr)) &&
      try(cidrsubnet(var.hospital_cidr, 0, 0), "") == var.hospital_cidr &&
      try(tonumber(split("/", var.hospital_cidr)[1]) >= 16, false)
    )
    error_message = "hospital_cidr is an IPv4 network of at most a /16, e.g. 203.0.113.0/24, not \"${var.hospital_cidr}\"."
  }
}

variable "volumes" {
  description = "Volumes by what they hold: size in GB and the node that mounts it, at most one a node."
  type        = map(object({ size_gb = number, node = string }))
  default = {
    tables  = { size_gb = 50, node = "control" }
    objects = { size_gb = 500, node = "worker1" }
  }

  validation {
    condition     = alltrue([for volume in values(var.volumes) : volume.size_gb >= 1 && floor(volume.size_gb) == volume.size_gb])
    error_message = "The size of a volume is a whole number of GB from 1."
  }

  validation {
    condition     = length(distinct(values(var.volumes)[*].node)) == length(var.volumes)
    error_message = "A node mounts at most one volume: ${jsonencode({ for name, volume in var.volumes : name => volume.node })}."
  }

  validation {
    condition     = !var.bare_metal || length(var.volumes) == 0
    error_message = "CHI attaches no volumes to bare metal: set volumes = {} and keep data in object storage."
  }

  validation {
    condition = alltrue([for volume in values(var.volumes) : contains(concat(
      ["control"],
      [for number in range(var.workers) : "worker${number + 1}"],
      [for number in range(var.gpu_workers) : "gpu${number + 1}"],
    ), volume.node)])
    error_message = "A volume names a node that is not there: ${jsonencode({ for name, volume in var.volumes : name => volume.node })}."
  }
}

variable "containers" {
  description = "What object containers hold, one a data set."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.containers : can(regex("^[a-z][a-z0-9-]{1,39}$", name))])
    error_message = "A container's name is small letters, digits and hyphens: ${jsonencode(var.containers)}."
  }
}

variable "floating_ip" {
  description = "Public address of the control plane; empty before it is known."
  type        = string
  default     = ""
}

variable "volume_ids" {
  description = "Ids of the attached volumes by node; a node without one stands not here."
  type        = map(string)
  default     = {}
}

variable "addresses" {
  description = "Addresses that the site gave, by node, in place of the planned ones (bare metal)."
  type        = map(string)
  default     = {}
}
