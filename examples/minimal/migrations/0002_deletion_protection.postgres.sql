ALTER TABLE "motd_instances" ADD COLUMN "deletion_protection" boolean NULL;
