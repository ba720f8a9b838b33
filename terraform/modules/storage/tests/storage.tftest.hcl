mock_provider "openstack" {}

mock_provider "openstack" {
  alias = "objects"
}

variables {
  volumes = {
    tables  = { name = "tables-project7", size_gb = 50 }
    objects = { name = "objects-project7", size_gb = 500 }
  }
  containers = { images = "images-project7" }
}

run "volumes_have_their_size_and_the_sites_type" {
  command = plan

  assert {
    condition     = { for key, volume in openstack_blockstorage_volume_v3.data : key => volume.size } == { tables = 50, objects = 500 }
    error_message = "Sizes differ."
  }

  assert {
    condition     = openstack_blockstorage_volume_v3.data["tables"].name == "tables-project7"
    error_message = "A name lacks the suffix."
  }
}

run "a_container_with_data_is_not_emptied" {
  command = plan

  assert {
    condition     = !openstack_objectstorage_container_v1.data["images"].force_destroy
    error_message = "Destroying a container would delete what it holds."
  }
}

run "bare_metal_has_no_volumes" {
  command = plan

  variables {
    volumes = {}
  }

  assert {
    condition     = length(openstack_blockstorage_volume_v3.data) == 0
    error_message = "A volume out of nothing."
  }
}

run "refuses_a_volume_of_no_size" {
  command = plan

  variables {
    volumes = { tables = { name = "tables-project7", size_gb = 0 } }
  }

  expect_failures = [var.volumes]
}

run "refuses_a_container_that_is_no_bucket" {
  command = plan

  variables {
    containers = { images = "Images_7" }
  }

  expect_failures = [var.containers]
}
