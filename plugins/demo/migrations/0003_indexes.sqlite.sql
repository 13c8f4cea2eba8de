CREATE INDEX "demo_instances_project_id_name_idx" ON "demo_instances" ("project_id", "name");
CREATE INDEX "demo_instances_status_id_idx" ON "demo_instances" ("status", "id");
CREATE INDEX "demo_instances_project_id_status_id_idx" ON "demo_instances" ("project_id", "status", "id");
CREATE INDEX "demo_pages_parent_id_status_id_idx" ON "demo_pages" ("parent_id", "status", "id");
