terraform {
  # Validation across variables needs 1.9, S3 state that locks by a file 1.10. Tested with 1.11.4.
  required_version = ">= 1.11, < 2.0"

  required_providers {
    openstack = {
      source = "terraform-provider-openstack/openstack"
      # 3.0 left the removed services (compute's security groups and addresses, Cinder v1 and v2) and took gophercloud 2.
      # A minor version at a time: 3.x adds resources, and a plan must stay empty when it is raised.
      version = "~> 3.4.0"
    }
  }
}

# Credentials come from clouds.yaml, one entry a site. OS_* variables would override it: unset them.
provider "openstack" {
  cloud = var.cloud
}

provider "openstack" {
  alias = "objects"
  cloud = var.objects_cloud
}
