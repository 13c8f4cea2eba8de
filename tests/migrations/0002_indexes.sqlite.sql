CREATE INDEX "vault_entries_parent_id_status_id_idx" ON "vault_entries" ("parent_id", "status", "id");
CREATE INDEX "vault_instances_project_id_name_idx" ON "vault_instances" ("project_id", "name");
CREATE INDEX "vault_instances_status_id_idx" ON "vault_instances" ("status", "id");
CREATE INDEX "vault_instances_project_id_status_id_idx" ON "vault_instances" ("project_id", "status", "id");
CREATE INDEX "vault_shares_parent_id_status_id_idx" ON "vault_shares" ("parent_id", "status", "id");
