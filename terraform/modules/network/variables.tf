variable "name" {
  description = "Name of the private network and its subnet."
  type        = string
  nullable    = false
}

variable "subnet" {
  description = "IPv4 network between the nodes, e.g. 192.168.1.0/24."
  type        = string

  validation {
    condition     = can(cidrnetmask(var.subnet))
    error_message = "subnet is an IPv4 network such as 192.168.1.0/24, not \"${var.subnet}\"."
  }
}
