# `make lease` prints both as TF_VAR_ lines.
variable "reservation" {
  description = "Id of the reservation for the control plane and the workers: a flavour's (KVM) or hosts' (bare metal)."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.reservation))
    error_message = "reservation is the UUID that `make lease` prints, not \"${var.reservation}\"."
  }
}

variable "gpu_reservation" {
  description = "Id of the reservation for the GPU nodes; empty without any."
  type        = string
  default     = ""

  validation {
    condition     = var.gpu_reservation == "" || can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.gpu_reservation))
    error_message = "gpu_reservation is the UUID that `make lease` prints, not \"${var.gpu_reservation}\"."
  }

  validation {
    condition     = (var.gpu_workers > 0) == (var.gpu_reservation != "")
    error_message = "GPU nodes and gpu_reservation go together: ${var.gpu_workers} nodes, reservation \"${var.gpu_reservation}\"."
  }
}
