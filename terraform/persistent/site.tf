# What a site is, the same for both roots (ephemeral/site.tf is a link to this file): values in ../site.tfvars.
variable "cloud" {
  description = "Entry of clouds.yaml with the nodes and volumes, e.g. kvm or chi."
  type        = string
  default     = "kvm"
}

variable "objects_cloud" {
  description = "Entry of clouds.yaml with the object store. KVM@TACC has none: chi."
  type        = string
  default     = "chi"
}

variable "project_suffix" {
  description = "Ends every name, e.g. project7."
  type        = string
}

variable "admin_cidr" {
  description = "IPv4 network that may reach SSH and the Kubernetes API, at most a /16."
  type        = string
}

variable "hospital_cidr" {
  description = "IPv4 network whose modalities may send images, at most a /16."
  type        = string
}

variable "private_subnet" {
  description = "IPv4 network between the nodes; on bare metal that of the site's shared network."
  type        = string
  default     = "192.168.1.0/24"
}

variable "bare_metal" {
  description = "Nodes are machines of CHI rather than VMs of KVM@TACC."
  type        = bool
  default     = false
}

variable "workers" {
  description = "Number of worker nodes without a GPU."
  type        = number
  default     = 2
}

variable "gpu_workers" {
  description = "Number of GPU nodes."
  type        = number
  default     = 0
}

variable "volumes" {
  description = "Volumes by what they hold: size in GB and the node that mounts it, at most one a node. Bare metal: {}."
  type        = map(object({ size_gb = number, node = string }))
  default = {
    tables  = { size_gb = 50, node = "control" }
    objects = { size_gb = 500, node = "worker1" }
  }
}

variable "volume_type" {
  description = "Cinder's volume type; empty for the site's default."
  type        = string
  default     = ""
}

variable "containers" {
  description = "Object containers, one a data set; each name ends in the project suffix."
  type        = set(string)
  default     = ["images", "models", "backups"]
}

variable "public_key" {
  description = "SSH public key of who installs: one line, \"ssh-ed25519 AAAA… name\"."
  type        = string

  validation {
    condition     = can(regex("^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp[0-9]+|sk-ssh-ed25519@openssh.com) [A-Za-z0-9+/=]+", var.public_key))
    error_message = "public_key is one line of an OpenSSH public key. A private key never belongs here."
  }
}

variable "images" {
  description = "Image by pool; GPU nodes take one with the driver."
  type        = object({ cpu = string, gpu = string })
  default     = { cpu = "CC-Ubuntu24.04", gpu = "CC-Ubuntu24.04-CUDA" }
}

variable "shared_network" {
  description = "The site's network with a way out."
  type        = string
  default     = "sharednet1"
}

variable "public_pool" {
  description = "The external network that public addresses are taken from."
  type        = string
  default     = "public"
}
