CREATE INDEX "ports_instances_project_id_name_idx" ON "ports_instances" ("project_id", "name");
CREATE INDEX "ports_instances_status_id_idx" ON "ports_instances" ("status", "id");
CREATE INDEX "ports_instances_project_id_status_id_idx" ON "ports_instances" ("project_id", "status", "id");
