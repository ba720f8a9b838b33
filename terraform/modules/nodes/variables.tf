variable "nodes" {
  description = "Nodes by key, as topology names them."
  type = map(object({
    name    = string
    role    = string
    pool    = string
    address = string
    front   = bool
  }))

  validation {
    condition     = length([for node in values(var.nodes) : node if node.front]) == 1
    error_message = "Exactly one node is the front: the one with the public address."
  }
}

variable "reservations" {
  description = "Id of the flavour reservation (Blazar) by pool. It is the id of the flavour that the lease makes."
  type        = map(string)

  validation {
    condition = alltrue([
      for id in values(var.reservations) : can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", id))
    ])
    error_message = "A reservation is a UUID as `make lease` prints it, not ${jsonencode(values(var.reservations))}."
  }

  validation {
    condition     = alltrue([for node in values(var.nodes) : contains(keys(var.reservations), node.pool)])
    error_message = "Pools without a reservation: ${jsonencode(setsubtract(values(var.nodes)[*].pool, keys(var.reservations)))}."
  }
}

variable "images" {
  description = "Name of the image by pool."
  type        = map(string)

  validation {
    condition     = alltrue([for node in values(var.nodes) : contains(keys(var.images), node.pool)])
    error_message = "Pools without an image: ${jsonencode(setsubtract(values(var.nodes)[*].pool, keys(var.images)))}."
  }
}

variable "rules" {
  description = "Ports of the front node that are open from outside, and the IPv4 network they are open to."
  type        = map(object({ port = number, cidr = string }))

  validation {
    condition = alltrue([
      for rule in values(var.rules) : contains([80, 443], rule.port) || try(tonumber(split("/", rule.cidr)[1]) >= 16, false)
    ])
    error_message = "Only 80 and 443 are open to everyone; others to at most a /16: ${jsonencode(var.rules)}."
  }
}

variable "names" {
  description = "Names of the security groups: front, closed."
  type        = object({ front = string, closed = string })
}

variable "key_name" {
  description = "Name of the key pair."
  type        = string
}

variable "shared_network" {
  description = "The site's network with a way out and public addresses."
  type        = string
}

variable "public_pool" {
  description = "The external network that public addresses are taken from."
  type        = string
}

variable "private_network_id" {
  description = "Id of the private network."
  type        = string
}

variable "private_subnet_id" {
  description = "Id of the private network's subnet."
  type        = string
}

variable "volumes" {
  description = "Id of the volume by the node that mounts it."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(setsubtract(keys(var.volumes), keys(var.nodes))) == 0
    error_message = "Volumes of nodes that are not there: ${jsonencode(setsubtract(keys(var.volumes), keys(var.nodes)))}."
  }
}
