# The version only: hashes are the registry's, and the first `terraform init` at a site adds them (docs/terraform.md).
provider "registry.terraform.io/terraform-provider-openstack/openstack" {
  version     = "3.4.0"
  constraints = "~> 3.4.0"
}
