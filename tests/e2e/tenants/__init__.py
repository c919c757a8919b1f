"""A site of django-tenants: each tenant has a schema, and in it its own jobs and documents."""
