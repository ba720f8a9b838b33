# Needs no provider, so that names, addresses, rules and the inventory are tested on any machine.
terraform {
  required_version = ">= 1.11, < 2.0"
}
