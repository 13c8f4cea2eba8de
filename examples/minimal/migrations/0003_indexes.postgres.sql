ALTER TABLE "motd_instances" ALTER COLUMN "name" TYPE text COLLATE "C";
ALTER TABLE "motd_instances" ALTER COLUMN "status" TYPE text COLLATE "C";
CREATE INDEX "motd_instances_project_id_name_idx" ON "motd_instances" ("project_id", "name");
CREATE INDEX "motd_instances_status_id_idx" ON "motd_instances" ("status", "id");
CREATE INDEX "motd_instances_project_id_status_id_idx" ON "motd_instances" ("project_id", "status", "id");
