ALTER TABLE "demo_instances" ADD COLUMN "deletion_protection" boolean NULL;
