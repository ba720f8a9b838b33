# What a lease pays for. Destroyed and made again at will: data, network and key are persistent/'s and found by their names.
module "topology" {
  source = "../modules/topology"

  project_suffix = var.project_suffix
  admin_cidr     = var.admin_cidr
  hospital_cidr  = var.hospital_cidr
  private_subnet = var.private_subnet
  bare_metal     = var.bare_metal
  workers        = var.workers
  gpu_workers    = var.gpu_workers
  volumes        = var.volumes

  floating_ip = one(concat(module.nodes[*].floating_ip, module.baremetal[*].floating_ip))
  volume_ids  = merge(module.nodes[*].attached...)
  addresses   = merge(module.baremetal[*].addresses...)
}

locals {
  reservations = merge(
    { cpu = var.reservation },
    var.gpu_reservation == "" ? {} : { gpu = var.gpu_reservation },
  )
  images = { for pool in keys(local.reservations) : pool => var.images[pool] }
}

data "openstack_networking_network_v2" "private" {
  count = var.bare_metal ? 0 : 1
  name  = module.topology.network_name
}

data "openstack_networking_subnet_v2" "private" {
  count      = var.bare_metal ? 0 : 1
  name       = module.topology.network_name
  network_id = data.openstack_networking_network_v2.private[0].id
}

data "openstack_blockstorage_volume_v3" "data" {
  for_each = module.topology.volumes
  name     = each.value.name
}

module "nodes" {
  source = "../modules/nodes"
  count  = var.bare_metal ? 0 : 1

  nodes              = module.topology.nodes
  rules              = module.topology.rules
  names              = module.topology.group_names
  key_name           = module.topology.key_name
  reservations       = local.reservations
  images             = local.images
  shared_network     = var.shared_network
  public_pool        = var.public_pool
  private_network_id = data.openstack_networking_network_v2.private[0].id
  private_subnet_id  = data.openstack_networking_subnet_v2.private[0].id
  volumes            = { for key, volume in module.topology.volumes : volume.node => data.openstack_blockstorage_volume_v3.data[key].id }
}

module "baremetal" {
  source = "../modules/baremetal"
  count  = var.bare_metal ? 1 : 0

  nodes          = module.topology.nodes
  key_name       = module.topology.key_name
  reservations   = local.reservations
  images         = local.images
  shared_network = var.shared_network
  public_pool    = var.public_pool
}
