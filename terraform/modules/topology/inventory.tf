locals {
  # Keys of hosts are taken at first sight and kept beside the inventory, on the way through the control plane too: a
  # ProxyJump would ask for that hop's key, and nobody is there to answer.
  known = "-o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={{ inventory_dir }}/known_hosts"

  reached = {
    for key, node in local.nodes : key => {
      private_address = lookup(var.addresses, key, node.address)
      jump            = !node.front && var.floating_ip != ""
    }
  }

  hosts = {
    for key, node in local.nodes : key => merge(
      {
        ansible_host    = node.front && var.floating_ip != "" ? var.floating_ip : local.reached[key].private_address
        private_address = local.reached[key].private_address
        bare_metal      = var.bare_metal
      },
      local.reached[key].jump ? {
        ansible_ssh_common_args = "-o ProxyCommand=\"ssh ${local.known} -W %h:%p cc@${var.floating_ip}\""
      } : {},
      # udev cuts the serial number of a virtio disk, which is the volume's id, at 20 characters.
      contains(keys(var.volume_ids), key) ? {
        volume_device = "/dev/disk/by-id/virtio-${substr(var.volume_ids[key], 0, 20)}"
      } : {},
    )
  }

  inventory = {
    all = {
      vars = {
        ansible_user           = "cc"
        ansible_ssh_extra_args = local.known
        project_suffix         = var.project_suffix
        private_subnet         = var.private_subnet
        admin_cidr             = var.admin_cidr
        hospital_cidr          = var.hospital_cidr
      }
      children = {
        cluster = {
          children = {
            for role in ["control_plane", "workers", "gpu"] : role => {
              hosts = { for key, node in local.nodes : node.name => local.hosts[key] if node.role == role }
            }
          }
        }
      }
    }
  }
}
