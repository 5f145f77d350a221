"""A Ray Serve application that lifts: `http` takes requests, `batching` runs the network, `replica` joins the two."""
