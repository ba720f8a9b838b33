variable "volumes" {
  description = "Volumes by what they hold: name and size in GB."
  type        = map(object({ name = string, size_gb = number }))

  validation {
    condition     = alltrue([for volume in values(var.volumes) : volume.size_gb >= 1])
    error_message = "The size of a volume is 1 GB at least."
  }
}

variable "volume_type" {
  description = "Cinder's volume type; empty for the site's default (KVM@TACC: ceph-ssd)."
  type        = string
  default     = ""
}

variable "containers" {
  description = "Names of object containers by what they hold."
  type        = map(string)

  validation {
    condition     = alltrue([for name in values(var.containers) : can(regex("^[a-z][a-z0-9-]{2,62}$", name))])
    error_message = "The name of a container is one that S3 takes for a bucket too: small letters, digits and hyphens, 3 to 63."
  }
}
