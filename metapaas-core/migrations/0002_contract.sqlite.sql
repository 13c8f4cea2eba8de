CREATE TABLE "metapaas_identities" (
    "id" text NOT NULL,
    "issuer" text NOT NULL,
    "subject" text NOT NULL,
    "user_id" text NOT NULL REFERENCES "metapaas_users" ("id") ON DELETE CASCADE,
    "created_at" integer NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "metapaas_identities_issuer_subject_key" ON "metapaas_identities" ("issuer", "subject");
CREATE INDEX "metapaas_identities_user_id_idx" ON "metapaas_identities" ("user_id");

CREATE TABLE "metapaas_operations" (
    "id" text NOT NULL,
    "project_id" text NOT NULL,
    "type" text NOT NULL,
    "plural" text NOT NULL,
    "resource_id" text NOT NULL,
    "instance_id" text NOT NULL,
    "name" text NOT NULL,
    "action" text NOT NULL,
    "status" text NOT NULL,
    "generation" integer NOT NULL,
    "parameters" text NULL,
    "error" text NULL,
    "actor_kind" text NOT NULL,
    "actor_id" text NULL,
    "actor_name" text NOT NULL,
    "request_id" text NOT NULL,
    "created_at" integer NOT NULL,
    "updated_at" integer NOT NULL,
    "finished_at" integer NULL,
    PRIMARY KEY ("id")
);
CREATE INDEX "metapaas_operations_instance_id_finished_at_idx" ON "metapaas_operations" ("instance_id", "finished_at");
CREATE INDEX "metapaas_operations_project_id_id_idx" ON "metapaas_operations" ("project_id", "id");
CREATE INDEX "metapaas_operations_finished_at_idx" ON "metapaas_operations" ("finished_at");

CREATE TABLE "metapaas_quotas" (
    "project_id" text NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE CASCADE,
    "resource" text NOT NULL,
    "limit_value" integer NOT NULL,
    "used" integer NOT NULL,
    PRIMARY KEY ("project_id", "resource")
);

CREATE TABLE "metapaas_reservations" (
    "instance_id" text NOT NULL,
    "project_id" text NOT NULL,
    "amounts" text NOT NULL,
    PRIMARY KEY ("instance_id")
);
CREATE INDEX "metapaas_reservations_project_id_idx" ON "metapaas_reservations" ("project_id");

CREATE TABLE "metapaas_roles" (
    "id" text NOT NULL,
    "project_id" text NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "name" text NOT NULL,
    "description" text NOT NULL,
    "permissions" text NOT NULL,
    "created_at" integer NOT NULL,
    "updated_at" integer NOT NULL,
    "revision" integer NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "metapaas_roles_project_id_name_key" ON "metapaas_roles" ("project_id", "name");
DROP INDEX "metapaas_events_resource_id_seq_idx";
ALTER TABLE "metapaas_bindings" ADD COLUMN "role_id" text NULL REFERENCES "metapaas_roles" ("id") ON DELETE RESTRICT;
ALTER TABLE "metapaas_events" ADD COLUMN "parent_id" text NULL;
ALTER TABLE "metapaas_replicas" ADD COLUMN "sealing_key" text NULL;
ALTER TABLE "metapaas_users" ADD COLUMN "failed_logins" integer NULL;
ALTER TABLE "metapaas_users" ADD COLUMN "locked_until" integer NULL;
CREATE INDEX "metapaas_audit_project_id_id_idx" ON "metapaas_audit" ("project_id", "id");
CREATE INDEX "metapaas_bindings_role_id_idx" ON "metapaas_bindings" ("role_id");
CREATE INDEX "metapaas_events_instance_id_seq_idx" ON "metapaas_events" ("instance_id", "seq");
CREATE INDEX "metapaas_events_project_id_seq_idx" ON "metapaas_events" ("project_id", "seq");
