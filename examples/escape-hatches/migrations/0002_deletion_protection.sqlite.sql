ALTER TABLE "ports_instances" ADD COLUMN "deletion_protection" boolean NULL;
