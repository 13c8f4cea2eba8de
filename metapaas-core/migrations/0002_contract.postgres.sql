CREATE TABLE "metapaas_identities" (
    "id" uuid NOT NULL,
    "issuer" text NOT NULL,
    "subject" text NOT NULL,
    "user_id" uuid NOT NULL REFERENCES "metapaas_users" ("id") ON DELETE CASCADE,
    "created_at" timestamp with time zone NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "metapaas_identities_issuer_subject_key" ON "metapaas_identities" ("issuer", "subject");
CREATE INDEX "metapaas_identities_user_id_idx" ON "metapaas_identities" ("user_id");

CREATE TABLE "metapaas_operations" (
    "id" uuid NOT NULL,
    "project_id" uuid NOT NULL,
    "type" text NOT NULL,
    "plural" text NOT NULL,
    "resource_id" uuid NOT NULL,
    "instance_id" uuid NOT NULL,
    "name" text NOT NULL,
    "action" text NOT NULL,
    "status" text NOT NULL,
    "generation" bigint NOT NULL,
    "parameters" jsonb NULL,
    "error" jsonb NULL,
    "actor_kind" text NOT NULL,
    "actor_id" uuid NULL,
    "actor_name" text NOT NULL,
    "request_id" text NOT NULL,
    "created_at" timestamp with time zone NOT NULL,
    "updated_at" timestamp with time zone NOT NULL,
    "finished_at" timestamp with time zone NULL,
    PRIMARY KEY ("id")
);
CREATE INDEX "metapaas_operations_instance_id_finished_at_idx" ON "metapaas_operations" ("instance_id", "finished_at");
CREATE INDEX "metapaas_operations_project_id_id_idx" ON "metapaas_operations" ("project_id", "id");
CREATE INDEX "metapaas_operations_finished_at_idx" ON "metapaas_operations" ("finished_at");

CREATE TABLE "metapaas_quotas" (
    "project_id" uuid NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE CASCADE,
    "resource" text NOT NULL,
    "limit_value" bigint NOT NULL,
    "used" bigint NOT NULL,
    PRIMARY KEY ("project_id", "resource")
);

CREATE TABLE "metapaas_reservations" (
    "instance_id" uuid NOT NULL,
    "project_id" uuid NOT NULL,
    "amounts" jsonb NOT NULL,
    PRIMARY KEY ("instance_id")
);
CREATE INDEX "metapaas_reservations_project_id_idx" ON "metapaas_reservations" ("project_id");

CREATE TABLE "metapaas_roles" (
    "id" uuid NOT NULL,
    "project_id" uuid NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "name" text NOT NULL,
    "description" text NOT NULL,
    "permissions" jsonb NOT NULL,
    "created_at" timestamp with time zone NOT NULL,
    "updated_at" timestamp with time zone NOT NULL,
    "revision" bigint NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "metapaas_roles_project_id_name_key" ON "metapaas_roles" ("project_id", "name");
DROP INDEX "metapaas_events_resource_id_seq_idx";
ALTER TABLE "metapaas_bindings" ADD COLUMN "role_id" uuid NULL REFERENCES "metapaas_roles" ("id") ON DELETE RESTRICT;
ALTER TABLE "metapaas_events" ADD COLUMN "parent_id" uuid NULL;
ALTER TABLE "metapaas_replicas" ADD COLUMN "sealing_key" text NULL;
ALTER TABLE "metapaas_users" ADD COLUMN "failed_logins" bigint NULL;
ALTER TABLE "metapaas_users" ADD COLUMN "locked_until" timestamp with time zone NULL;
CREATE INDEX "metapaas_audit_project_id_id_idx" ON "metapaas_audit" ("project_id", "id");
CREATE INDEX "metapaas_bindings_role_id_idx" ON "metapaas_bindings" ("role_id");
CREATE INDEX "metapaas_events_instance_id_seq_idx" ON "metapaas_events" ("instance_id", "seq");
CREATE INDEX "metapaas_events_project_id_seq_idx" ON "metapaas_events" ("project_id", "seq");
