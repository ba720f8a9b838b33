variable "nodes" {
  description = "Nodes by key, as topology names them; the site gives their addresses."
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
  description = "Id of the host reservation (Blazar) by pool."
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
  description = "Name of the image by pool; for GPUs one with the driver, e.g. CC-Ubuntu24.04-CUDA."
  type        = map(string)

  validation {
    condition     = alltrue([for node in values(var.nodes) : contains(keys(var.images), node.pool)])
    error_message = "Pools without an image: ${jsonencode(setsubtract(values(var.nodes)[*].pool, keys(var.images)))}."
  }
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
