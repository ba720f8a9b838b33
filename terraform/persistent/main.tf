# What outlives a lease: data, the network and the key. Nothing here is destroyed by `make destroy`.
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
  containers     = var.containers
}

# Bare metal meets on the site's shared network.
module "network" {
  source = "../modules/network"
  count  = var.bare_metal ? 0 : 1

  name   = module.topology.network_name
  subnet = var.private_subnet
}

module "storage" {
  source = "../modules/storage"
  providers = {
    openstack         = openstack
    openstack.objects = openstack.objects
  }

  volumes     = module.topology.volumes
  volume_type = var.volume_type
  containers  = module.topology.containers
}

resource "openstack_compute_keypair_v2" "admin" {
  name       = module.topology.key_name
  public_key = var.public_key
}
